-- When an event was: `dated_us`, microseconds since 1970, NULL while nobody knows. `at` stays what the box wrote.
ALTER TABLE event ADD COLUMN boot TEXT;
ALTER TABLE event ADD COLUMN mono_ns INTEGER;
ALTER TABLE event ADD COLUMN synced INTEGER;
ALTER TABLE event ADD COLUMN dated_us INTEGER;
CREATE INDEX event_by_unknown_date ON event (site, boot) WHERE synced = 0;
-- The newest word of each boot about its clock: wall = mono + offset.
CREATE TABLE boot_clock (
    site TEXT NOT NULL, boot TEXT NOT NULL, said_ns INTEGER NOT NULL, offset_ns INTEGER NOT NULL,
    PRIMARY KEY (site, boot)
) STRICT;
-- What was collected before.
UPDATE event SET boot = json_extract(body, '$.clock.boot'), mono_ns = json_extract(body, '$.clock.mono_ns'),
    synced = json_extract(body, '$.clock.quality') = 'synced';
INSERT OR REPLACE INTO boot_clock (site, boot, said_ns, offset_ns)
    SELECT site, boot, mono_ns, json_extract(body, '$.data.offset_ns') FROM event WHERE kind = 'clock.synced'
    ORDER BY mono_ns;
UPDATE event SET dated_us = CASE synced
    WHEN 1 THEN CAST(round((julianday(at) - 2440587.5) * 86400000) AS INTEGER) * 1000
    ELSE (SELECT (word.offset_ns + event.mono_ns) / 1000 FROM boot_clock AS word
          WHERE word.site = event.site AND word.boot = event.boot) END;
