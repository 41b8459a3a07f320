"""What is read from code without running it: only users of ``ast``, ``symtable`` and ``dis``."""
