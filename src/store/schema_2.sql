-- Events that went from the lanes while the showroom still rests on them: one a slot, the newest, or several folded into
-- one. A rebuild of the projections plays them among the log, by position.
CREATE TABLE settled (
    slot TEXT NOT NULL UNIQUE,
    pos INTEGER PRIMARY KEY,
    lane INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    kind TEXT NOT NULL,
    wall_us INTEGER NOT NULL,
    boot BLOB NOT NULL,
    mono_ns INTEGER NOT NULL,
    quality INTEGER NOT NULL,
    visit BLOB,
    customer BLOB,
    vehicle TEXT,
    staff TEXT,
    data TEXT NOT NULL,
    subject TEXT,
    sealed BLOB,
    origin_epoch BLOB,
    origin_seq INTEGER,
    v INTEGER NOT NULL,
    CHECK ((subject IS NULL) = (sealed IS NULL)),
    CHECK ((origin_epoch IS NULL) = (origin_seq IS NULL))
) STRICT;
CREATE INDEX settled_kind ON settled (kind, pos);
CREATE INDEX settled_visit ON settled (visit) WHERE visit IS NOT NULL;

-- What is in the log of each lane, and the newest position that went from it.
ALTER TABLE lane ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN gone_pos INTEGER NOT NULL DEFAULT 0;
UPDATE lane SET (events, bytes) = (
    SELECT count(*), coalesce(sum(140 + octet_length(data) + coalesce(octet_length(sealed), 0)), 0)
    FROM log WHERE log.lane = lane.lane
);

-- Bytes that each lane grew by, on each day that the box was up: day 0 is the first.
CREATE TABLE growth (
    day INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (day, lane)
) STRICT, WITHOUT ROWID;

-- How long the box was up in all, as of a moment of a boot; and the earliest believed wall time of that boot's start.
CREATE TABLE uptime (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    boot BLOB NOT NULL,
    mono_ns INTEGER NOT NULL,
    total_ns INTEGER NOT NULL,
    begun_us INTEGER
) STRICT;

-- Projections: which events they rest on.
ALTER TABLE tag ADD COLUMN pos INTEGER NOT NULL DEFAULT 0;
CREATE INDEX interest_pos ON interest (pos);
