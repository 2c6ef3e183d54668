# Makes the root of a container or of a pod's PID 1, and runs its command there:
# sh root.sh STATE PROJECT HOSTNAME HOSTS RESOLV WORKDIR MOUNTS LINKS MODE PROGRAM -- COMMAND...
# MODE is ro or rw. PROGRAM is the one that COMMAND ends up running.
# It needs a new mount namespace. Writes go to a tmpfs that ends with the container.
# When the root is complete, it writes `ok` to descriptor 3. Otherwise it writes the reason.
set -eu
state=$1 scratch=$1/scratch project=$2 name=$3 hosts=$4 resolv=$5 workdir=$6 mounts=$7 links=$8
mode=$9
shift 9
program=$1
shift 2
own_path=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin
exec 4>&2 2>&3

# Fails unless the program exists, in the words of a container runtime.
require_program() {
  case $program in
  */*)
    if [ ! -e "$program" ]; then
      echo "exec: \"$program\": stat $program: no such file or directory" >&2
      exit 127
    elif [ -d "$program" ] || [ ! -x "$program" ]; then
      echo "exec: \"$program\": permission denied" >&2
      exit 126
    fi
    ;;
  *)
    old_ifs=$IFS
    IFS=:
    for folder in $own_path; do
      if [ -f "$folder/$program" ] && [ -x "$folder/$program" ]; then
        IFS=$old_ifs
        return
      fi
    done
    echo "exec: \"$program\": executable file not found in \$PATH" >&2
    exit 127
    ;;
  esac
}

mount --make-rprivate /
mount -t tmpfs -o mode=755 kubetun "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay kubetun -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$scratch/root"
cd "$scratch/root"

mount -t proc proc proc
# As runc: files that change or show the machine are read-only or covered. /proc/sys/net stays
# writable, because it belongs to the pod's own network.
for path in bus fs irq sys sysrq-trigger; do
  [ -e "proc/$path" ] || continue
  mount --bind "proc/$path" "proc/$path"
  mount -o remount,bind,ro "proc/$path"
done
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,rw proc/sys/net
for path in acpi asound scsi kcore keys latency_stats timer_list timer_stats sched_debug; do
  if [ -d "proc/$path" ]; then
    mount -t tmpfs -o ro tmpfs "proc/$path"
  elif [ -e "proc/$path" ]; then
    mount --bind /dev/null "proc/$path"
  fi
done
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  : >"dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
mount -t tmpfs -o mode=1777 tmpfs dev/shm
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs run
# The lab's state holds volumes of other pods, Secrets among them.
[ ! -d ".$state" ] || mount -t tmpfs -o ro,mode=700 tmpfs ".$state"

# Containers may run the project's files but not change them.
mkdir -p ".$project"
mount --bind "$project" ".$project"
mount -o remount,bind,ro ".$project"
# A container's user may not reach the folder above the project. Links lead to this place instead.
mkdir run/image
mount --bind ".$project" run/image
mount -o remount,bind,ro run/image
# Programs of the image, one per line: path, target.
while IFS='	' read -r path target; do
  [ -n "$path" ] || continue
  mkdir -p ".${path%/*}/"
  ln -sfn "$target" ".$path"
done <<EOF
$links
EOF

rm -f etc/hostname etc/hosts etc/resolv.conf
printf '%s\n' "$name" >etc/hostname
printf '%s' "$hosts" >etc/hosts
printf '%s' "$resolv" >etc/resolv.conf

mkdir .old
pivot_root . .old
cd /
# Volumes, one per line: ro or rw, source, target. Links in a target resolve in the new root.
covered=
while IFS='	' read -r access source target; do
  [ -n "$access" ] || continue
  resolved=$(readlink -m -- "$target")
  case $resolved in
  / | /proc | /proc/* | /.old | /.old/*)
    echo "mountPath $target: leads to $resolved, expected a path outside / itself and /proc" >&2
    exit 128
    ;;
  esac
  target=$resolved
  if [ -d "/.old$source" ]; then
    mkdir -p "$target"
  else
    mkdir -p "${target%/*}/"
    [ -e "$target" ] || : >"$target"
  fi
  mount --bind "/.old$source" "$target"
  covered="$covered $target "
  [ "$access" = rw ] || mount -o remount,bind,ro "$target"
done <<EOF
$mounts
EOF
umount -l /.old
rmdir /.old
[ -d "$workdir" ] || mkdir -p "$workdir"
if [ "$mode" = ro ]; then
  for path in / /tmp /run; do
    # A volume hides what is below it.
    case $covered in *" $path "*) continue ;; esac
    mount -o remount,bind,ro "$path"
  done
fi
cd "$workdir"
PATH=$own_path
require_program
exec 2>&4 4>&-
echo ok >&3
exec "$@" 3>&-
