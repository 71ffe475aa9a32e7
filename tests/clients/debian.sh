#!/bin/sh
# Installs from Debian what the tests drive, and what tests/clients/setup.sh needs. Run it as root, once.
set -eu

exec apt-get install -y --no-install-recommends \
    curl libdbi-perl libfrontier-rpc-perl python3-venv redis-server ruby ruby-xmlrpc socat xmlrpc-api-utils
