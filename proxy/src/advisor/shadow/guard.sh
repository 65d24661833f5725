# Runs the shadow's programs so that they can't outlive the caller:
#   sh -c "$(cat guard.sh)" guard FOLDER PROGRAMS [ARGUMENT-OF-INITDB…]
#
# Standard input is a pipe that the caller holds; each line is an order: init, start or stop, answered by one line.
# When the pipe closes, because the caller let go or died in any way, the server ends at once and FOLDER is removed.
folder=$1; programs=$2; shift 2
umask 077
# a Ctrl-C is the caller's to answer, and an answer to a caller that is gone must not end us
trap '' INT HUP PIPE
server=
while read -r order; do
  case $order in
    init)
      "$programs/initdb" "$@" -D "$folder/data" </dev/null >"$folder/initdb.log" 2>&1
      echo "$?" ;;
    start)
      nice -n 10 "$programs/postgres" -D "$folder/data" </dev/null >>"$folder/server.log" 2>&1 &
      server=$!
      echo 0 ;;
    stop)
      kill -INT "$server" 2>/dev/null
      wait "$server"
      echo "$?"
      server= ;;
  esac
done
if [ -n "$server" ]; then
  kill -QUIT "$server" 2>/dev/null
  wait "$server"
fi
rm -rf "$folder"
