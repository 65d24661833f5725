# Runs a program that can't outlive its caller:  sh -c "$(cat guard.sh)" guard SIGNAL FOLDER PROGRAM [ARG…]
#
# Standard input is a pipe that the caller holds. When it closes, because the caller let go or died in any way,
# the program gets SIGNAL, is waited for, and FOLDER (may be empty) is removed. The first line of standard output
# is the program's process id; the program's own output goes to standard error; its exit code is ours.
signal=$1; folder=$2; shift 2
"$@" </dev/null >&2 &
pid=$!
echo "$pid"
exec >/dev/null
read -r _
kill "-$signal" "$pid" 2>/dev/null
wait "$pid"; status=$?
[ -z "$folder" ] || rm -rf "$folder"
exit "$status"
