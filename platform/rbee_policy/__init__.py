"""The language of policies: what a script may define and see, what its answers mean, and how it is checked.

Pure: no Django, no network, no clock. The queen decides by it, `rbee policy check` and `test` use it offline, and a dry-run
replays by it, so that all of them say the same of the same script.

    world         the fields that scripts see
    functions     what scripts may call
    codes         what reject() may name, and what clients get for it
    language      compiling a script, and what is wrong with it
    asking        calling an entry point, and making sense of its answer
    rules         rules in YAML, written out as a script (quoting writes their values)
    cases         running the cases of a policy (case_files reads them)
    documents     reading YAML so that every problem has its place
    files         which of these a file is
    reference     the tables of the docs
"""
