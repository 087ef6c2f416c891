"""Reading Dockerfiles and the shell text in them, for everybody who looks into one."""
