#!/bin/sh
# Installs from Debian what the tests drive, and what tests/clients/setup.sh needs. Run it as root, once.
set -eu

exec apt-get install -y --no-install-recommends \
    curl g++ gcc libdbi-perl libfrontier-rpc-perl m4 make python3-venv redis-server ruby ruby-xmlrpc socat \
    valgrind xmlrpc-api-utils
