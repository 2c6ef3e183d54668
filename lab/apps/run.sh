#!/bin/sh
# The programs of built-in images. Containers see a link to this file, for example /agnhost. The
# name of the link selects the program.
here=$(dirname "$(readlink -f "$0")")
name=${0##*/}
case $name in
  pause) exec /bin/sleep infinity ;;
  agnhost) program=agnhost.ts ;;
  *)
    program=samples.ts
    set -- "$name" "$@"
    ;;
esac
exec "$here/../../node_modules/node/bin/node" --disable-warning=ExperimentalWarning \
  "$here/$program" "$@"
