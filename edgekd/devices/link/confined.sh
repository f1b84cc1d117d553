# Runs a program of a working folder under limits, in a bare environment.
#
#     sh confined.sh FOLDER NUMBER SECONDS BLOCKS KIB PROGRAM [WORD ...]
#
# SECONDS of processor time, files of BLOCKS of 512 bytes, KIB of private memory; 0 is no limit. Its
# errors go to errors/NUMBER, its process is named in running/NUMBER for the attendant of the folder,
# which ends it with the link. Ends as the program does, above 128 by a signal.

folder=$1 number=$2
cd "$folder" || exit
mkdir -p running errors

# The hard limit is a little higher: what passes the soft one says so by a signal of its own.
lower() {  # OPTION NUMBER
  [ "$2" != 0 ] || return
  (ulimit -S "$1" "$2") 2>/dev/null && ulimit -S "$1" "$2"
  (ulimit -H "$1" $(($2 + 1))) 2>/dev/null && ulimit -H "$1" $(($2 + 1))
}

ulimit -c 0
lower -t "$3"
lower -f "$4"
lower -d "$5"
{ echo 1000 >"/proc/$$/oom_score_adj"; } 2>/dev/null
shift 5
[ ! -f "$1" ] || [ -x "$1" ] || chmod 700 "$1"
alone=$(command -v setsid)
$alone sh -c '
  echo $$ >"running/$0"
  [ ! -e over ] || exit 1
  exec env -i PATH="$PATH" ${HOME:+HOME="$HOME"} ${TMPDIR:+TMPDIR="$TMPDIR"} \
    ${LD_LIBRARY_PATH:+LD_LIBRARY_PATH="$LD_LIBRARY_PATH"} "$@"' "$number" "$@" 2>"errors/$number"
status=$?
rm -f "running/$number"
exit $status
