"""`python -m ckpt_magic`: the command line."""

from __future__ import annotations

import sys

from ckpt_magic.faces.cli import main

sys.exit(main())
