#!/bin/sh
# Builds the addon with AddressSanitizer and UndefinedBehaviorSanitizer, apart from the ordinary build, and runs
# its tests with it. Ends with "N passed, N failed". What is never freed counts as a failure when the addon's
# own code allocated it; Node.js leaves things behind that are not ours.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd)
build=$root/native/test/build/sanitized
addon=$build/build/Release/lunport.node
reports=$build/reports
bin=$root/node_modules/.bin

fail() {
  echo "$1" >&2
  echo '0 passed, 1 failed'
  exit 1
}

# The same sources seen from another folder: node-gyp has no option for where to build.
mkdir -p "$build"
ln -sfn ../../../src "$build/src"
ln -sfn ../../../binding.gyp "$build/binding.gyp"
prefix=$(node -p 'require("path").resolve(process.execPath, "../..")')
headers=
[ -f "$prefix/include/node/node_api.h" ] && headers=--nodedir=$prefix
# shellcheck disable=SC2086
gyp() {
  command=$1
  shift
  "$bin/node-gyp" "$command" -C "$build" --release $headers "$@"
}
if ! { gyp configure -- -Dsanitize=1 && gyp build --jobs max; } >"$build/build.log" 2>&1; then
  cat "$build/build.log"
  fail 'the sanitized addon does not compile'
fi
"$bin/tsc" -p "$root" >"$build/tsc.log" 2>&1 || true
[ -f "$root/dist/test/native/regions.test.js" ] || fail "no compiled tests: $(cat "$build/tsc.log")"

libasan=$(${CXX:-g++} -print-file-name=libasan.so)
rm -rf "$reports"
mkdir -p "$reports"
# SIGBUS is the addon's own; the pattern of 16384 guards is no stack of ours to check for use after return.
export ASAN_OPTIONS="handle_sigbus=0:detect_leaks=1:detect_stack_use_after_return=0:log_path=$reports/report"
export LSAN_OPTIONS="exitcode=0:report_objects=0"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/report"
export LUNPORT_ADDON="$addon"

loaded=$(LD_PRELOAD=$libasan node -p 'require(process.env.LUNPORT_ADDON).build') || fail 'the sanitized addon does not load'
[ "$loaded" = sanitized ] || fail "the addon that was loaded is not the sanitized one, but: $loaded"

cd "$root"
LD_PRELOAD=$libasan LUNPORT_SANITIZED=1 "$bin/ava" --tap --timeout 2m 'dist/test/native/*.test.js' >"$build/tap.log" 2>&1 || true
passed=$(grep -c '^ok' "$build/tap.log" || true)
failed=$(grep -c '^not ok' "$build/tap.log" || true)
[ "$failed" -eq 0 ] || grep -v '^ok' "$build/tap.log"
[ "$passed" -gt 0 ] || { cat "$build/tap.log"; failed=$((failed + 1)); }

# Whether a report holds a leak that the addon's own code allocated: its frames come before Node.js's.
leaks_ours() {
  awk '
    /leak of/ { ours = 0; done = 0 }
    /^ *#[1-9]/ && !done {
      if ($0 ~ /\/node\+0x/) done = 1
      else if ($0 ~ /\.\.\/src\/[a-z_]+\.(cc|h):|napi-inl\.h:/) { found = 1; done = 1 }
    }
    END { exit !found }' "$1"
}
for report in "$reports"/*; do
  [ -f "$report" ] || continue
  if grep -qE 'ERROR: AddressSanitizer|runtime error:' "$report" || leaks_ours "$report"; then
    cat "$report"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
