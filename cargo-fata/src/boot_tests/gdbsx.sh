# Speaks gdb's remote protocol with `cargo-fata exec --gdb symbols`, as gdb itself is not in dom0.
# $ENTRY and $MAIN are code addresses in hexadecimal digits: the image's first instruction, and a function that it calls.
fail() { echo "$*"; cat said; exit 1; }

# Sends a packet, and leaves the answer in $answer.
ask() {
    local sum=0 byte i
    for ((i = 0; i < ${#1}; i++)); do
        printf -v byte %d "'${1:i:1}"
        sum=$(((sum + byte) % 256))
    done
    printf '$%s#%02x' "$1" "$sum" >&3
    IFS= read -r -t 30 -d '#' -u 3 answer || fail "no answer to ${1:0:40}"
    read -r -t 30 -N 2 -u 3 _
    printf + >&3
    answer=${answer#*\$}
}

# Eight octets, the lowest first, as a register is told.
octets() {
    local i
    for ((i = 14; i >= 0; i -= 2)); do printf %s "${1:i:2}"; done
}

# The instruction pointer is the seventeenth register.
expect_rip() {
    ask g
    registers=$answer
    [ "${registers:256:16}" = "$(octets "$1")" ] || fail "$2: rip is ${registers:256:16}, not $1"
}

cd /tmp/tool || exit 1
./cargo-fata exec --gdb symbols </dev/null >said 2>&1 &
for _ in $(seq 150); do grep -q 'the guest waits' said && break; sleep 0.2; done
port=$(sed -n 's/.*target remote 127.0.0.1:\([0-9]*\).*/\1/p' said)
exec 3<>"/dev/tcp/127.0.0.1/${port:-0}" || fail "no port"

expect_rip "$ENTRY" "at the entry"
ask "m$MAIN,1"
code=$answer
ask "M$MAIN,1:cc"
[ "$answer" = OK ] || fail "a breakpoint: $answer"
ask c
[[ $answer = T05* ]] || fail "the stop: $answer"
expect_rip "$(printf %x $((0x$MAIN + 1)))" "at the breakpoint"
ask "M$MAIN,1:$code"
ask "G${registers:0:256}$(octets "$MAIN")${registers:272}"
[ "$answer" = OK ] || fail "registers: $answer"
ask s
[[ $answer = T05* ]] || fail "a step: $answer"
! grep -q 'hello from Fata' said || fail "the guest did not stop"
# gdbsx closes the connection without an answer.
printf '$D#44' >&3
wait $!
echo "status $?"
cat said
