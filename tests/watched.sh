#!/usr/bin/env bash
# Runs the C, C++ and Rust tests under a tool that watches them, which first must find faults that are there:
#     tests/watched.sh asan|tsan|valgrind
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=${CARGO:-cargo}
export UPLOAD_TEST_RUNNER=$1

# Has what is compiled for the tests' machine, not for the compiler's own use, compiled with a sanitizer, in a directory of
# its own. The compiler's -Z options are open to a stable one, too, if told so.
sanitize() {
    compiled=(RUSTC_BOOTSTRAP=1 "RUSTFLAGS=-Zsanitizer=$*" "CARGO_BUILD_TARGET=$(rustc -vV | sed -n 's/^host: //p')"
        "CARGO_TARGET_DIR=$(realpath "${CARGO_TARGET_DIR:-target}")/$UPLOAD_TEST_RUNNER")
}

# runner COMMAND...: the option that has cargo run tests by this command.
runner() {
    printf -- "--config=target.'cfg(all())'.runner=[$(printf "'%s'," "$@")]"
}

engine() {
    env "${compiled[@]}" "$cargo" test --locked -p chunked-upload --features test-hooks "$@"
}

# must_find FAULT WORDS: the test of this name in tests/faults/planted.rs fails, and the tool says why.
must_find() {
    local said
    if said=$(engine ${under:+"$under"} --test faults -- --ignored --exact "planted::$1" 2>&1) ||
        ! grep -m 1 "$2" <<<"$said"; then
        printf '%s\n%s: %s was not found\n' "$said" "$0" "$1" >&2
        exit 1
    fi
}

compiled=() under=
case $1 in
asan)
    sanitize address
    must_find use_after_free 'AddressSanitizer: heap-use-after-free'
    must_find leak 'LeakSanitizer: detected memory leaks'
    # Not those that take minutes to do what others do, too.
    engine --tests -- $(printf -- '--skip %s:: ' crash_points power_cuts examples)
    ;;
tsan)
    # The standard library comes compiled without it. A C program brings gcc's runtime, whose memcpy has another name.
    sanitize thread -Cunsafe-allow-abi-mismatch=sanitizer -Cllvm-args=-tsan-instrument-memintrinsics=0
    # Some tests fork beside other threads, and start threads there.
    export TSAN_OPTIONS="suppressions=$PWD/tests/tsan.supp die_after_fork=0"
    must_find data_race 'ThreadSanitizer: data race'
    # Those with more than one thread.
    engine --tests -- $(grep -l 'scope.spawn\|thread::spawn' tests/*/*.rs | sed -n 's|tests/[a-z]*/\(.*\)\.rs|\1::|p')
    ;;
valgrind)
    # Leaks are for asan: in a child forked beside other threads valgrind takes for lost what only they point to.
    under=$(runner valgrind --quiet --error-exitcode=99)
    must_find use_after_free 'Invalid read'
    # Not those whose threads meet at a lock, where valgrind (3.19) waits for ever, nor those that take minutes.
    # It does not know F_GET_RW_HINT and F_SET_RW_HINT: it warns at each and returns EINVAL, like Linux before 4.13.
    {
        engine "$under" --lib
        engine "$under" --test protocol --test crashes --test access --test compatibility -- \
            $(printf '%s:: ' planted_files owners power_loss table refused resume released trust vectors)
    } 2>&1 | sed --unbuffered '/^==[0-9]*== Warning: unimplemented fcntl command: 103[56]$/d'
    ;;
*)
    echo "usage: $0 asan|tsan|valgrind" >&2
    exit 2
    ;;
esac

# These compile the library themselves, so it is they that must be told how.
"$cargo" test --locked "$(runner env "${compiled[@]}")" -p chunked-upload-c --test programs
