"""The command line: one file per command, and what they share in `console` and `files`.

A command is a module with `NAME`, `HELP`, `EPILOG`, `arguments(parser)` and `run(options, console)`; a new
command is one file and one row in `main.COMMANDS`. Commands raise `JaxpotError` for everything a user can
mend; `main` turns that into one sentence and exit code 2.
"""
