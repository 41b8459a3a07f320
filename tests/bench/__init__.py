"""Benchmarks: what ckpt_magic costs against a peer that is measured in the same run."""
