CREATE TABLE accepted (
    origin TEXT NOT NULL,
    identity BYTEA NOT NULL CHECK (octet_length(identity) = 32),
    kind TEXT NOT NULL,
    leaf BYTEA NOT NULL CHECK (octet_length(leaf) = 32),
    deadline BIGINT NOT NULL,
    PRIMARY KEY (origin, identity)
);
CREATE TABLE outbox (
    origin TEXT NOT NULL,
    identity BYTEA NOT NULL,
    kind TEXT NOT NULL,
    entry BYTEA NOT NULL,
    due BIGINT NOT NULL,
    puts SMALLINT NOT NULL,
    PRIMARY KEY (origin, identity)
);
ALTER TABLE outbox ALTER COLUMN entry SET STORAGE EXTERNAL;
CREATE INDEX outbox_due ON outbox (origin, due);
CREATE TABLE drained (
    origin TEXT NOT NULL,
    identity BYTEA NOT NULL,
    PRIMARY KEY (origin)
);
