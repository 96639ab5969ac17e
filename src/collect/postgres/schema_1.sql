-- What the collectors keep; one schema, so that it can be given rights, dumped and dropped as a whole.
CREATE TABLE showfloor.version (version int NOT NULL);
INSERT INTO showfloor.version VALUES (1);

-- `at` is what the box said, `dated` when it was: null while nobody knows the time of that boot. `body` is the event but
-- for what stands in columns: `data`, `v`, `origin`, and fields that the collector does not know. Lanes are partitions of
-- their own because they are kept for different times; indexes are theirs, so that one of them may be divided further.
CREATE TABLE showfloor.event (
    site text NOT NULL, lane text NOT NULL, epoch uuid NOT NULL, seq bigint NOT NULL, pos bigint NOT NULL,
    id uuid NOT NULL, kind text NOT NULL, at timestamptz NOT NULL, dated timestamptz,
    boot uuid NOT NULL, mono_ns bigint NOT NULL, synced boolean NOT NULL,
    visit uuid, customer uuid, vehicle text, staff text,
    personal jsonb, body jsonb NOT NULL
) PARTITION BY LIST (lane);
CREATE TABLE showfloor.event_sales PARTITION OF showfloor.event
    (PRIMARY KEY (site, id), UNIQUE (site, epoch, seq)) FOR VALUES IN ('sales');
CREATE TABLE showfloor.event_presence PARTITION OF showfloor.event
    (PRIMARY KEY (site, id), UNIQUE (site, epoch, seq)) FOR VALUES IN ('presence');
CREATE TABLE showfloor.event_trace PARTITION OF showfloor.event
    (PRIMARY KEY (site, id), UNIQUE (site, epoch, seq)) FOR VALUES IN ('trace');
CREATE INDEX event_of_customer ON showfloor.event (site, customer) WHERE personal IS NOT NULL;
CREATE INDEX event_to_date ON showfloor.event (site, boot) WHERE NOT synced;

-- Numbers that the box does not hold any more.
CREATE TABLE showfloor.gap (
    site text NOT NULL, lane text NOT NULL, epoch uuid NOT NULL, first bigint NOT NULL, last bigint NOT NULL,
    count bigint NOT NULL, reason text NOT NULL, at timestamptz NOT NULL,
    PRIMARY KEY (site, lane, epoch, first)
);
-- Up to where each lane is stored; moves in the transaction that stores. Small and ever changing: room for updates in place.
CREATE TABLE showfloor.cursor (
    site text NOT NULL, lane text NOT NULL, epoch uuid NOT NULL, after bigint NOT NULL,
    PRIMARY KEY (site, lane)
) WITH (fillfactor = 50);
-- Databases that a box has had, in each lane.
CREATE TABLE showfloor.epoch (
    site text NOT NULL, lane text NOT NULL, epoch uuid NOT NULL, began timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, lane, epoch)
);
-- The newest word of each boot about its clock: wall = mono + offset. `said_ns` is of the moment it was said.
CREATE TABLE showfloor.boot_clock (
    site text NOT NULL, boot uuid NOT NULL, said_ns bigint NOT NULL, offset_ns bigint NOT NULL,
    PRIMARY KEY (site, boot)
);
-- Customers who are to be forgotten, and where the box said so: what was said before must not come back by another lane.
CREATE TABLE showfloor.erased (
    site text NOT NULL, customer uuid NOT NULL, epoch uuid NOT NULL, pos bigint NOT NULL,
    PRIMARY KEY (site, customer)
);

-- Collectors that live, by their heartbeat on the server's clock, and which boxes each of them holds. Collectors with the
-- same list of boxes have the same `roster` and divide it evenly.
CREATE TABLE showfloor.collector (
    id uuid PRIMARY KEY, consumer text NOT NULL, roster text NOT NULL, host text NOT NULL,
    joined timestamptz NOT NULL DEFAULT clock_timestamp(), heartbeat timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE showfloor.lease (
    consumer text NOT NULL, site text NOT NULL, holder uuid,
    PRIMARY KEY (consumer, site)
) WITH (fillfactor = 50);
