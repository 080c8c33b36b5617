CREATE TABLE queued (
    key BYTEA NOT NULL CHECK (octet_length(key) = 16),
    data BYTEA NOT NULL,
    PRIMARY KEY (key)
);
ALTER TABLE queued ALTER COLUMN data SET STORAGE EXTERNAL;
