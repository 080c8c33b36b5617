CREATE TABLE entry (
    origin TEXT NOT NULL,
    index BIGINT NOT NULL,
    data BYTEA NOT NULL,
    PRIMARY KEY (origin, index)
);
ALTER TABLE entry ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE stage (
    origin TEXT NOT NULL,
    size BIGINT NOT NULL,
    old_size BIGINT NOT NULL,
    root BYTEA NOT NULL CHECK (octet_length(root) = 32),
    frontier BYTEA NOT NULL,
    PRIMARY KEY (origin, size),
    UNIQUE (origin, old_size),
    CHECK (0 <= old_size AND old_size < size)
);
CREATE TABLE signed (
    origin TEXT NOT NULL,
    size BIGINT NOT NULL,
    note BYTEA NOT NULL,
    PRIMARY KEY (origin, size)
);
CREATE TABLE witnessed (
    origin TEXT NOT NULL,
    size BIGINT NOT NULL,
    note BYTEA NOT NULL,
    PRIMARY KEY (origin, size)
);
