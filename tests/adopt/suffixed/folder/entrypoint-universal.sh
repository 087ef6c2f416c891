#!/bin/bash
if [ $# -eq 0 ]; then exec start-notebook.sh; fi
exec "$@"
