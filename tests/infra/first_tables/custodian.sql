CREATE TABLE entry (
    origin TEXT NOT NULL,
    index BIGINT NOT NULL,
    leaf BYTEA NOT NULL CHECK (octet_length(leaf) = 32),
    data BYTEA NOT NULL,
    PRIMARY KEY (origin, index)
);
ALTER TABLE entry ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE head (
    origin TEXT NOT NULL,
    size BIGINT NOT NULL,
    old_size BIGINT NOT NULL,
    root BYTEA NOT NULL CHECK (octet_length(root) = 32),
    frontier BYTEA NOT NULL,
    note BYTEA NOT NULL,
    time BIGINT NOT NULL,
    PRIMARY KEY (origin, size),
    UNIQUE (origin, old_size),
    CHECK (0 <= old_size AND old_size < size)
);
CREATE INDEX head_time ON head (time DESC);
CREATE TABLE node (
    origin TEXT NOT NULL,
    level SMALLINT NOT NULL,
    index BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (origin, level, index)
);
CREATE TABLE published (
    origin TEXT NOT NULL,
    size BIGINT NOT NULL,
    note BYTEA NOT NULL,
    PRIMARY KEY (origin, size)
);
