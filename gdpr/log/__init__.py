"""The transparency log: an append-only Merkle tree over audit entries that anybody can check without us.

It knows nothing of Django, so that an auditor can run its verifier on a folder of files.

    note          texts with Ed25519 signatures (C2SP signed-note)
    signers       keys that sign from elsewhere: a KMS, a program of the operator's
    entry         the bytes of an audit entry, and its leaf hash
    tree          RFC 6962: roots, inclusion and consistency proofs
    tiles         the files of a log (C2SP tlog-tiles), and what is read from them
    checkpoint    size and root of a log in a signed note (C2SP tlog-checkpoint)
    proof         a proof in one text (C2SP tlog-proof)
    store         a folder of such files, written whole or not at all
    term          how long entries are kept, and what of the files may be gone then
    writer        adds entries to a store and signs what it holds then
    copies        keeps a second place up to date, `s3` one in a bucket
    witness       has somebody else sign that the log only grew (C2SP tlog-witness)
    verify        finds what is wrong with a log
    rows          compares a log with the rows of the database
    sequencer     numbers the rows, one process at a time
"""
