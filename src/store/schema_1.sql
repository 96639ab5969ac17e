CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

-- AUTOINCREMENT: a position never comes back, even when the newest rows are shed.
CREATE TABLE log (
    pos INTEGER PRIMARY KEY AUTOINCREMENT,
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
    UNIQUE (lane, seq),
    CHECK ((subject IS NULL) = (sealed IS NULL)),
    CHECK ((origin_epoch IS NULL) = (origin_seq IS NULL))
) STRICT;

-- The newest word about a boot's clock is looked up at each start.
CREATE INDEX log_clock ON log (boot, pos) WHERE kind = 'clock.synced';

CREATE TABLE lane (lane INTEGER PRIMARY KEY, head INTEGER NOT NULL) STRICT;
INSERT INTO lane (lane, head) VALUES (0, 0), (1, 0), (2, 0);

CREATE TABLE gap (
    lane INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at_us INTEGER NOT NULL,
    PRIMARY KEY (lane, to_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealing_key (subject TEXT PRIMARY KEY, key BLOB NOT NULL) STRICT;

CREATE TABLE cursor (
    consumer TEXT NOT NULL,
    lane INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    PRIMARY KEY (consumer, lane)
) STRICT, WITHOUT ROWID;

-- Either pos, or code and message of a refusal.
CREATE TABLE request (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    pos INTEGER,
    code TEXT,
    message TEXT,
    at_us INTEGER NOT NULL,
    boot BLOB NOT NULL,
    mono_ns INTEGER NOT NULL,
    quality INTEGER NOT NULL,
    PRIMARY KEY (source, id),
    CHECK ((pos IS NULL) = (code IS NOT NULL AND message IS NOT NULL))
) STRICT, WITHOUT ROWID;

-- From the facts, not from the log: what the engine needs to go on after a restart.
CREATE TABLE open_visit (
    visit BLOB PRIMARY KEY,
    tag TEXT NOT NULL,
    customer BLOB,
    entered_us INTEGER NOT NULL,
    last_us INTEGER NOT NULL,
    zone TEXT,
    x REAL NOT NULL,
    y REAL NOT NULL
) STRICT;

-- Projections: each can be rebuilt from the log.
CREATE TABLE vehicle (vehicle TEXT PRIMARY KEY, spot TEXT, data TEXT NOT NULL, pos INTEGER NOT NULL) STRICT;
CREATE INDEX vehicle_spot ON vehicle (spot, pos) WHERE spot IS NOT NULL;

CREATE TABLE customer (customer BLOB PRIMARY KEY, personal TEXT NOT NULL, profile TEXT NOT NULL) STRICT;

CREATE TABLE erased (customer BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE staff (
    staff TEXT PRIMARY KEY,
    personal TEXT NOT NULL,
    active INTEGER NOT NULL,
    available INTEGER NOT NULL
) STRICT;

CREATE TABLE visit (
    visit BLOB PRIMARY KEY,
    customer BLOB,
    entered_us INTEGER NOT NULL,
    exited_us INTEGER,
    zone TEXT,
    x REAL NOT NULL,
    y REAL NOT NULL,
    assigned_to TEXT,
    pos INTEGER NOT NULL
) STRICT;
CREATE INDEX visit_open ON visit (pos) WHERE exited_us IS NULL;
CREATE INDEX visit_customer ON visit (customer) WHERE customer IS NOT NULL;

-- holder_kind: 0 visit, 1 session of a kiosk, 2 customer.
CREATE TABLE interest (
    holder_kind INTEGER NOT NULL,
    holder BLOB NOT NULL,
    vehicle TEXT NOT NULL,
    level REAL NOT NULL,
    pos INTEGER NOT NULL,
    PRIMARY KEY (holder_kind, holder, vehicle)
) STRICT, WITHOUT ROWID;

CREATE TABLE kiosk_session (
    kiosk TEXT PRIMARY KEY,
    session BLOB NOT NULL,
    started_us INTEGER NOT NULL,
    started_pos INTEGER NOT NULL
) STRICT;

CREATE TABLE tag (
    tag TEXT PRIMARY KEY,
    role TEXT NOT NULL,
    subject TEXT,
    customer BLOB,
    until_us INTEGER
) STRICT;
CREATE INDEX tag_customer ON tag (customer) WHERE customer IS NOT NULL;
