"""Writes down what a stage's processes import, open and ask of the configuration. Python runs it at its start where this folder is
on PYTHONPATH.

The folder $READ_RECORDS gets one file per process, named after the stage, with lines `module NAME`, `file PATH` and
`field MODULE CLASS NAME`. A process that the stage starts has a file of its own.
"""

import importlib
import os
import sys
from pathlib import Path

FOLDER = os.environ.get("READ_RECORDS")
#: Calls that open files beneath Python, where no audit event tells of them; the file is the first argument.
BENEATH = [("pyarrow.parquet", name) for name in ("read_table", "read_schema", "read_metadata", "ParquetFile")]
BENEATH += [("safetensors", "safe_open")]


def record(folder, stage):
    """Note everything from here on."""
    seen = set()
    place = Path(folder) / f"{stage}.{os.getpid()}"

    def note(line):
        if line not in seen:
            seen.add(line)
            # At once: a worker ends without a word.
            descriptor = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            os.write(descriptor, f"{line}\n".encode())
            os.close(descriptor)

    def read(path):
        whole = Path.cwd() / path
        if whole.is_relative_to(Path.cwd()) and whole.is_file():
            note(f"file {whole}")

    def listen(event, arguments):
        if event == "import" and str(arguments[0]).startswith("aigc_core"):
            note(f"module {arguments[0]}")
            if hasattr(sys.modules.get("aigc_core.cli"), "main"):  # what a stage imports, once the command has begun
                watch_fields(sys.modules["aigc_core.config.base"].Section, note)
        elif event == "open" and isinstance(arguments[0], str) and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            read(arguments[0])

    def wrapped(call):
        def inner(file, *more, **named):
            if isinstance(file, str | Path):
                read(file)
            return call(file, *more, **named)

        return inner

    for module, name in BENEATH:
        holder = importlib.import_module(module)
        setattr(holder, name, wrapped(getattr(holder, name)))
    sys.addaudithook(listen)


def watch_fields(section, note):
    """Note each field of the configuration that is asked for."""
    plain = section.__getattribute__

    def asked(self, name):
        # A section that checks itself asks for its own fields.
        if name in type(self).model_fields and Path(sys._getframe(1).f_code.co_filename).parent.name != "config":
            note(f"field {type(self).__module__} {type(self).__name__} {name}")
        return plain(self, name)

    if plain.__name__ != "asked":
        section.__getattribute__ = asked


words = [Path(word).name if place < 2 else word for place, word in enumerate(sys.orig_argv)]
if FOLDER and "aigc" in words[:2]:
    os.environ["RECORDED_STAGE"] = "@".join(words[words.index("aigc") + 1 :])
if FOLDER and "RECORDED_STAGE" in os.environ:
    record(FOLDER, os.environ["RECORDED_STAGE"])
