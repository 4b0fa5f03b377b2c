"""Network families; torch is imported by the files in here and not by this one."""
