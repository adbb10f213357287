"""Import TensorFlow without the messages that it prints at start."""

import importlib
import os
import sys
import tempfile
from types import ModuleType

# Lines that TensorFlow prints on import, whatever its log level.
MESSAGES = (
    "All log messages before absl::InitializeLog()",
    "oneDNN custom operations are on.",
    "This TensorFlow binary is optimized",
    "To enable the following instructions",
)


def load_tensorflow() -> ModuleType:
    """Import TensorFlow without the lines in MESSAGES, which no setting turns off; its other output is kept.

    Raises:
        ImportError: if it is not installed or fails to load.
    """
    if module := sys.modules.get("tensorflow"):
        return module
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said, os.fdopen(os.dup(2), "wb") as stderr:
        os.dup2(said.fileno(), 2)
        try:
            return importlib.import_module("tensorflow")
        finally:
            os.dup2(stderr.fileno(), 2)
            said.seek(0)
            stderr.writelines(line for line in said if not any(words.encode() in line for words in MESSAGES))
