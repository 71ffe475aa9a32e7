#!/bin/sh
# Makes DIR a virtual environment of Python with the clients that requirements.txt lists, for the tests. Installs once:
# where DIR has them already, nothing is done. Takes two minutes at most, whatever the network does.
#
#     tests/clients/setup.sh DIR
set -eu

dir=${1:?"usage: setup.sh DIR"}
list=$(dirname "$0")/requirements.txt
# Written last, so an installation that was interrupted is begun anew.
mark=$dir/installed-requirements.txt

if [ -z "${MI_CLIENTS_LOCKED:-}" ]; then
    mkdir -p "$(dirname "$dir")"
    # Test runs at the same time install once.
    MI_CLIENTS_LOCKED=yes exec timeout -k 5 120 flock "$dir.lock" "$0" "$dir"
fi

if cmp -s "$list" "$mark"; then
    exit 0
fi
if [ -e "$dir" ] && [ ! -e "$dir/pyvenv.cfg" ] && [ -n "$(ls -A "$dir")" ]; then
    echo "$dir is something else; name a folder that does not exist yet" >&2
    exit 1
fi
command -v python3 >/dev/null || { echo "no python3" >&2; exit 1; }
python3 -m venv --clear "$dir" >&2 || { echo "python3 has no venv; install python3-venv" >&2; exit 1; }
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 1 --timeout 15 \
    --only-binary :all: --require-hashes --no-deps -r "$list" >&2
cp "$list" "$mark"
