"""The transparency log: notes, checkpoints, the Merkle tree, tiles, proofs and readers, in the formats of C2SP."""
