-- Databases that a box has had, in each lane, and when the collector learnt of them.
CREATE TABLE epoch (
    site TEXT NOT NULL, lane TEXT NOT NULL, epoch TEXT NOT NULL, began TEXT NOT NULL,
    PRIMARY KEY (site, lane, epoch)
) STRICT;
INSERT INTO epoch SELECT site, lane, epoch, min(at) FROM event GROUP BY 1, 2, 3;
