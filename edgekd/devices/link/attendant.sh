# What a transport has running on a device without Python: it minds the working folder.
#
#     sh attendant.sh FOLDER SILENCE_S LINGER_S
#
# Does what attendant.py does, with what any shell has: requests come as lines, answers go as JSON
# lines, and an empty line, which only says that the other side is there, is answered by one. Where
# the input ends, or nothing comes for SILENCE_S seconds, all that confined.sh runs is killed and the
# device is free for others; the folder stays LINGER_S seconds for a run that comes back. A new
# attendant of the folder ends the one before. The locks are those of attendant.py; mksh, which is
# Android's shell, hands a descriptor on only where it is named again.

folder=$(cd "$1" && pwd -P) && cd "$folder" || exit
silence=$2 linger=$3 beats=0 queued= ours=
beside=${folder%/*}
lock=$beside/edgekd-device.lock queue=$beside/edgekd-device.queue
trap '' HUP PIPE

lacking() {
  for name in cat chmod env find flock mkdir mktemp mv printf readlink rm sed sha256sum sleep tail \
    uname wc; do
    command -v "$name" >/dev/null 2>&1 || printf '%s ' "$name"
  done
}

# Kills a process, and what it started, if it is one of this folder.
stop() {
  [ "$(readlink "/proc/$1/cwd")" = "$folder" ] || return
  kill -9 "-$1" || kill -9 "$1"
} 2>/dev/null

stop_all() {
  for file in running/*; do
    [ -f "$file" ] && stop "$(cat "$file")" && rm -f "$file"
  done
}

# Ends an attendant that still minds this folder: its link is cut and it may not know.
relieve() {
  if [ -f attendants ]; then
    for before in $(cat attendants); do stop "$before"; done
  fi
  mkdir -p running
  stop_all
  rm -f over
  echo $$ >attendants
}

# Removes working folders that runs left behind which were killed: nobody holds those.
sweep() {
  for other in "$beside"/edgekd-target-*; do
    [ -d "$other" ] && [ -n "$(find "$other" -maxdepth 0 -mmin +1)" ] || continue
    (flock -n 9 9<&9 && rm -rf "$other") 9<"$other"
  done
} 2>/dev/null

# Opens a lock file, which every user of the device can lock; another user's only to be read.
opened() {  # DESCRIPTOR FILE
  [ ! -L "$2" ] || return
  if (umask 022; : >>"$2"); then
    eval "exec $1>>\"\$2\""
  elif [ -r "$2" ]; then
    eval "exec $1<\"\$2\""
  else
    return 1 # to try would end this shell
  fi
}

# Shows the first line of what is said, as it may stand in an answer.
shown() {
  sed '1!d; s/["\\[:cntrl:]]/?/g'
}

# Has the device for this run alone, if others are done; else says who has it.
take() {
  for file in "$queue" "$lock"; do
    if [ -e "$file" ] && [ ! -r "$file" ]; then
      printf '{"refused": "Permission denied", "path": "%s"}\n' "$(printf '%s' "$file" | shown)"
      return
    fi
  done
  if [ -z "$queued" ]; then
    opened 6 "$queue" && flock -n 6 6>&6 && queued=yes
  fi
  if [ -n "$queued" ] && opened 7 "$lock" && flock -n 7 7>&7; then
    ours=yes
    [ -w "$lock" ] && printf '%s' "$1" >"$lock"
    forget
    echo '{}'
  else
    printf '{"held_by": "%s"}\n' "$(shown <"$lock")"
  fi
} 2>/dev/null

# Lets others come next.
forget() {
  [ -z "$queued" ] || exec 6>&-
  queued=
}

leave() {
  forget
  [ -z "$ours" ] || exec 7>&-
  ours=
}

# Ends what runs and, unless the run comes back in time, removes the folder.
end() {
  : >over
  stop_all
  sleep "$1"
  case "$(cat attendants)" in "$$ "*) rm -rf "$folder" ;; esac
} >/dev/null 2>&1 </dev/null

# Ends everything where the other side shows no life; a process beside the one that listens.
watch() {
  while seen=$(cat beats); sleep "$silence"; [ "$(cat beats)" != "$seen" ]; do :; done
  kill -9 $$
  end "$linger"
} >/dev/null 2>&1 </dev/null

missing=$(lacking)
if [ -n "$missing" ]; then
  printf '{"missing": "%s"}\n' "${missing% }"
  exit
fi
exec 8<"$folder"
flock -s 8 8<&8 # a sweep wants it for itself
relieve
sweep
echo 0 >beats
watch &
watcher=$!
echo $$ $watcher >attendants
echo '{"missing": ""}'
while read -r do about; do
  beats=$((beats + 1))
  echo $beats >beats
  case $do in
    '') echo ;;
    take) take "$about" ;;
    leave) leave; echo '{}' ;;
    still) echo '{}' ;;
    go) linger=0; break ;;
  esac
done
kill -9 $watcher
leave
if [ "$linger" = 0 ]; then
  end 0
  echo '{}'
else # closed to the other side, which may hear us though we do not hear it
  exec </dev/null >/dev/null 2>&1
  end "$linger"
fi
