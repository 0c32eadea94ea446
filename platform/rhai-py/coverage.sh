#!/usr/bin/env bash
# What the tests reach, of Rust and of Python. Needs `rustup component add llvm-tools`, and pip for coverage.py.
# Instrumented code is slower and its frames are larger: a test that measures time may fail here.
set -euo pipefail
cd "$(dirname "$0")"

PYTHON=${PYTHON:-python3}
OUT=$PWD/target/coverage
TOOLS=$(dirname "$(rustc --print target-libdir)")/bin
if ! [ -x "$TOOLS/llvm-cov" ]; then
    echo "llvm-cov is missing. This fixes it: rustup component add llvm-tools" >&2
    exit 1
fi
rm -rf "$OUT/profiles" "$OUT/package"
mkdir -p "$OUT/profiles" "$OUT/package"
"$PYTHON" -m uv pip install --quiet --target "$OUT/python" coverage

# The extension beside a copy of the package, so that the installed one stays what it is.
export RUSTFLAGS="-C instrument-coverage" CARGO_TARGET_DIR=$OUT LLVM_PROFILE_FILE=$OUT/profiles/%p-%m.profraw
cargo rustc --quiet --release --lib --crate-type cdylib --features pyo3/extension-module --config 'profile.release.strip="none"'
cp -r python/rhai_py "$OUT/package/"
cp "$OUT/release/librhai_py.so" "$OUT/package/rhai_py/_native.abi3.so"

cargo test --quiet
tests=$(cargo test --no-run --message-format json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
PYTHONPATH=$OUT/package:$OUT/python COVERAGE_FILE=$OUT/.coverage \
    "$PYTHON" -m coverage run --source rhai_py -m pytest -q --timeout 600 tests "$@" || echo "some tests failed: the report is of what ran"

"$TOOLS/llvm-profdata" merge --sparse "$OUT"/profiles/*.profraw --output "$OUT/all.profdata"
"$TOOLS/llvm-cov" report --instr-profile "$OUT/all.profdata" --ignore-filename-regex 'registry|rustc|rustlib' \
    "$OUT/package/rhai_py/_native.abi3.so" --object "$tests"
PYTHONPATH=$OUT/python COVERAGE_FILE=$OUT/.coverage "$PYTHON" -m coverage report
