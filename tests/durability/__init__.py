"""Nothing is lost when things go wrong: killed processes, failing system calls, full disks."""
