-- CRC-32 over the columns before it; NULL in rows of an older program.
ALTER TABLE log ADD COLUMN sum INTEGER;
ALTER TABLE settled ADD COLUMN sum INTEGER;

-- Damaged files that were set aside, and what came of them. `copy` is a folder in the data directory while it is kept.
CREATE TABLE salvage (
    n INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    cause TEXT NOT NULL,
    epoch BLOB,
    kept INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    copy TEXT NOT NULL
) STRICT;
