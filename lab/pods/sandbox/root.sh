# Makes the root of a container or of a pod's PID 1, and runs its command there:
# sh root.sh STATE PROJECT HOSTNAME HOSTS RESOLV WORKDIR MOUNTS -- COMMAND...
# It needs a new mount namespace. Writes go to a tmpfs that ends with the container.
# When the root is complete, it writes to descriptor 3.
set -eu
state=$1 scratch=$1/scratch project=$2 name=$3 hosts=$4 resolv=$5 workdir=$6 mounts=$7
shift 8
own_path=$PATH
PATH=/usr/sbin:/usr/bin:/sbin:/bin

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

rm -f etc/hostname etc/hosts etc/resolv.conf
printf '%s\n' "$name" >etc/hostname
printf '%s' "$hosts" >etc/hosts
printf '%s' "$resolv" >etc/resolv.conf

mkdir .old
pivot_root . .old
cd /
# Volumes, one per line: ro or rw, source, target. Links in a target resolve in the new root.
while IFS='	' read -r mode source target; do
  [ -n "$mode" ] || continue
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
  [ "$mode" = rw ] || mount -o remount,bind,ro "$target"
done <<EOF
$mounts
EOF
umount -l /.old
rmdir /.old
cd "$workdir"
PATH=$own_path
echo >&3
exec "$@" 3>&-
