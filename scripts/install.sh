#!/bin/sh
# Installs opensips-mi: programs, man pages, example configuration, init script, its settings, systemd unit, and the
# headers that modules in C are compiled with.
# Run it again at any time: it replaces its own files and never a configuration that is there already.

set -eu

usage() {
	cat <<'END'
usage: scripts/install.sh [OPTION]...

  --prefix DIR    or --prefix=DIR: programs go to DIR/sbin, man pages to DIR/share/man, headers for modules in C to
                  DIR/include/opensips-mi (default /usr/local)
  --destdir DIR   or --destdir=DIR: put everything below DIR, for packages; changes nothing else
  --as-opensips   also link DIR/sbin/opensips to opensips-mi, for scripts that look for opensips
  --create-user   create the system user and group opensips when they are missing
  --uninstall     remove what was installed; configurations stay
  -h, --help      print this help

Folders for logs and state are made: /var/log/opensips and /var/lib/opensips, for the user opensips when there is one.

PREFIX, DESTDIR, SYSCONFDIR (default /etc) and UNITDIR (default /etc/systemd/system, or PREFIX/lib/systemd/system
when PREFIX is /usr) can be set in the environment, too. Without target/release, cargo builds it first;
CARGO_TARGET_DIR is heeded.
END
}

fail() {
	echo "install.sh: $*" >&2
	exit 1
}

PREFIX=${PREFIX:-/usr/local}
DESTDIR=${DESTDIR:-}
SYSCONFDIR=${SYSCONFDIR:-/etc}
uninstall=no
as_opensips=no
create_user=no
while [ $# -gt 0 ]; do
	case "$1" in
	--prefix | --destdir)
		[ $# -ge 2 ] || fail "$1 needs a folder; see --help"
		if [ "$1" = --prefix ]; then PREFIX=$2; else DESTDIR=$2; fi
		shift
		;;
	--prefix=?*) PREFIX=${1#*=} ;;
	--destdir=?*) DESTDIR=${1#*=} ;;
	--as-opensips) as_opensips=yes ;;
	--create-user) create_user=yes ;;
	--uninstall) uninstall=yes ;;
	-h | --help)
		usage
		exit 0
		;;
	*) fail "unknown option '$1'; see --help" ;;
	esac
	shift
done
for folder in "$PREFIX" "$SYSCONFDIR"; do
	case "$folder" in
	*[!A-Za-z0-9_./+-]*) fail "the folder '$folder' may have no blanks or special characters" ;;
	esac
done
case "$PREFIX" in
/*) ;;
*) fail "the prefix '$PREFIX' is not an absolute path" ;;
esac
if [ -z "${UNITDIR:-}" ]; then
	if [ "$PREFIX" = /usr ]; then UNITDIR=/usr/lib/systemd/system; else UNITDIR=/etc/systemd/system; fi
fi

project=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
SBINDIR=$PREFIX/sbin
MANDIR=$PREFIX/share/man/man8
DOCDIR=$PREFIX/share/doc/opensips-mi
INCLUDEDIR=$PREFIX/include/opensips-mi
CONFIG=$SYSCONFDIR/opensips/opensips.cfg
DEFAULTS=$SYSCONFDIR/default/opensips-mi
INIT=$SYSCONFDIR/init.d/opensips-mi
# Where the example configuration has its log, and where the server keeps what is to survive a restart.
LOGDIR=/var/log/opensips
STATEDIR=/var/lib/opensips

# ours PATH: whether PATH is the link that --as-opensips makes.
ours() {
	[ -L "$1" ] && [ "$(readlink "$1")" = opensips-mi ]
}

# The headers, and what Makefiles of modules include, by their paths below the folder of headers.
headers() {
	(cd "$project/c-compat/include" && find . -type f ! -name '.*' | sed 's|^\./||' | sort)
}

remove() {
	if [ -e "$DESTDIR$1" ] || [ -L "$DESTDIR$1" ]; then
		rm -f "$DESTDIR$1"
		echo "removed   $DESTDIR$1"
	fi
}

if [ $uninstall = yes ]; then
	for file in "$SBINDIR/opensips-mi" "$SBINDIR/opensipsunix" "$MANDIR/opensips-mi.8" "$MANDIR/opensipsunix.8" \
		"$DOCDIR/opensips.cfg.example" "$INIT" "$UNITDIR/opensips-mi.service"; do
		remove "$file"
	done
	if ours "$DESTDIR$SBINDIR/opensips"; then
		remove "$SBINDIR/opensips"
	fi
	headers | while read -r header; do
		remove "$INCLUDEDIR/$header"
	done
	if [ -d "$DESTDIR$INCLUDEDIR" ]; then
		find "$DESTDIR$INCLUDEDIR" -depth -type d -exec rmdir {} + 2>/dev/null || :
	fi
	rmdir "$DESTDIR$DOCDIR" "$DESTDIR$LOGDIR" "$DESTDIR$STATEDIR" 2>/dev/null || :
	for file in "$CONFIG" "$DEFAULTS" "$LOGDIR" "$STATEDIR"; do
		if [ -e "$DESTDIR$file" ]; then
			echo "kept      $DESTDIR$file"
		fi
	done
	exit 0
fi

built=${CARGO_TARGET_DIR:-$project/target}/release
if [ ! -x "$built/opensips-mi" ] || [ ! -x "$built/opensipsunix" ]; then
	command -v cargo >/dev/null 2>&1 ||
		fail "$built has no programs and there is no cargo to build them; run 'cargo build --release' as the user who has it"
	echo "building  $built"
	(cd "$project" && cargo build --release --locked) || fail "cargo could not build the programs; its errors are above"
fi

# put MODE SOURCE PATH: installs SOURCE under PATH with the paths of this installation in it.
put() {
	mkdir -p "$DESTDIR$(dirname "$3")"
	sed -e "s|/usr/sbin/opensips-mi|$SBINDIR/opensips-mi|g" -e "s|/etc/default/|$SYSCONFDIR/default/|g" \
		-e "s|/etc/opensips/|$SYSCONFDIR/opensips/|g" -e "s|/etc/init.d/|$SYSCONFDIR/init.d/|g" \
		"$2" >"$DESTDIR$3.new"
	chmod "$1" "$DESTDIR$3.new"
	mv -f "$DESTDIR$3.new" "$DESTDIR$3"
	echo "installed $DESTDIR$3"
}

# put_once MODE SOURCE PATH: as put, when nothing is at PATH.
put_once() {
	if [ -e "$DESTDIR$3" ] || [ -L "$DESTDIR$3" ]; then
		echo "kept      $DESTDIR$3"
	else
		put "$@"
	fi
}

# A program that runs cannot be written to, so it is replaced by a rename.
put_program() {
	mkdir -p "$DESTDIR$SBINDIR"
	cp "$built/$1" "$DESTDIR$SBINDIR/$1.new"
	chmod 755 "$DESTDIR$SBINDIR/$1.new"
	mv -f "$DESTDIR$SBINDIR/$1.new" "$DESTDIR$SBINDIR/$1"
	echo "installed $DESTDIR$SBINDIR/$1"
}

put_program opensips-mi
put_program opensipsunix
put 644 "$project/scripts/man/opensips-mi.8" "$MANDIR/opensips-mi.8"
put 644 "$project/scripts/man/opensipsunix.8" "$MANDIR/opensipsunix.8"
put 644 "$project/opensips.cfg.example" "$DOCDIR/opensips.cfg.example"
put 755 "$project/scripts/opensips-mi.init" "$INIT"
put 644 "$project/scripts/opensips-mi.service" "$UNITDIR/opensips-mi.service"
headers | while read -r header; do
	put 644 "$project/c-compat/include/$header" "$INCLUDEDIR/$header"
done
put_once 644 "$project/scripts/opensips-mi.default" "$DEFAULTS"
put_once 644 "$project/opensips.cfg.example" "$CONFIG"

if [ $as_opensips = yes ]; then
	link=$DESTDIR$SBINDIR/opensips
	if ! ours "$link" && { [ -e "$link" ] || [ -L "$link" ]; }; then
		fail "$link is there and is not ours; move it away, or leave out --as-opensips"
	fi
	ln -sfn opensips-mi "$link"
	echo "linked    $link -> opensips-mi"
fi

if [ $create_user = yes ]; then
	[ -z "$DESTDIR" ] || fail "--create-user changes this machine and does not go with --destdir"
	if ! getent group opensips >/dev/null; then
		groupadd --system opensips
		echo "created   group opensips"
	fi
	if ! getent passwd opensips >/dev/null; then
		useradd --system --gid opensips --home-dir /run/opensips --no-create-home --shell /usr/sbin/nologin opensips
		echo "created   user opensips"
	fi
fi

# A folder that is there keeps its owner and mode.
for folder in "$LOGDIR" "$STATEDIR"; do
	if [ -e "$DESTDIR$folder" ]; then
		echo "kept      $DESTDIR$folder"
		continue
	fi
	mkdir -p "$DESTDIR$folder"
	chmod 750 "$DESTDIR$folder"
	if [ -z "$DESTDIR" ] && getent passwd opensips >/dev/null; then
		chown opensips:opensips "$folder"
	fi
	echo "made      $DESTDIR$folder"
done

cat <<END

Next: edit $CONFIG, then start the server by one of
  RUN_OPENSIPS=yes in $DEFAULTS, then $INIT start
  systemctl daemon-reload && systemctl enable --now opensips-mi
END
if [ -z "$DESTDIR" ] && ! getent passwd opensips >/dev/null; then
	echo "There is no user opensips yet: run this again with --create-user, or set USER and GROUP in $DEFAULTS."
fi
