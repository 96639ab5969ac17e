-- What the collector keeps. `body` is what of an event has no column; `personal` stands alone so that it can be erased.
CREATE TABLE event (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, seq INTEGER NOT NULL, pos INTEGER NOT NULL,
    id TEXT NOT NULL, kind TEXT NOT NULL, at TEXT NOT NULL,
    visit TEXT, customer TEXT, vehicle TEXT, staff TEXT, personal TEXT, body TEXT NOT NULL,
    PRIMARY KEY (site, id)
) STRICT;
CREATE UNIQUE INDEX event_by_seq ON event (site, lane, epoch, seq);
CREATE INDEX event_by_customer ON event (site, customer) WHERE customer IS NOT NULL;
-- Numbers that the box does not hold any more.
CREATE TABLE gap (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    count INTEGER NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
    PRIMARY KEY (site, lane, epoch, first)
) STRICT;
-- Up to where each lane is stored; moves in the transaction that stores.
CREATE TABLE cursor (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, after INTEGER NOT NULL,
    PRIMARY KEY (site, lane)
) STRICT;
-- Customers who are to be forgotten, and where the box said so: what was said before must not come back by another lane.
CREATE TABLE erased (
    site TEXT NOT NULL, customer TEXT NOT NULL, epoch TEXT NOT NULL, pos INTEGER NOT NULL,
    PRIMARY KEY (site, customer)
) STRICT;
