-- The moment of last_us on the clocks of the box, so that another start can tell how long ago it was; NULL where last_us is
-- of the readings' own clock.
ALTER TABLE open_visit ADD COLUMN heard_wall_us INTEGER;
ALTER TABLE open_visit ADD COLUMN heard_boot BLOB;
ALTER TABLE open_visit ADD COLUMN heard_mono_ns INTEGER;
ALTER TABLE open_visit ADD COLUMN heard_quality INTEGER;
