#!/bin/sh
# All that a GPU should show, in one command:
#
#     benches/gpu/run.sh [DEVICE] [--data FOLDER]
#
# on cuda:0, or on DEVICE: the engines' tests, and the time and ELBO of a discrete autoencoder at
# batches of 24, 512 and 4096 images. FOLDER holds MNIST as `--data` of the example takes it; without,
# the images that come with the example are too few for the largest batch. STEPS (200) says how many
# steps a batch size gets, PEERS may name a command that runs the same in other libraries.
set -eu

device=cuda:0
case ${1-} in
    '' | --*) ;;
    *) device=$1; shift ;;
esac
features=
case $device in
    cuda*)
        if ! nvidia-smi > /dev/null 2>&1 || ! command -v nvcc > /dev/null; then
            echo "no GPU, or no nvcc, on this machine: \`$0 dfdx\` runs the same code on the CPU" >&2
            exit 1
        fi
        nvidia-smi --query-gpu=name,driver_version --format=csv,noheader
        features='--features cuda'
        ;;
esac
cd "$(dirname "$0")/../.."

echo "== tests on every engine of this build"
# shellcheck disable=SC2086
cargo test --release $features -p relax-runtime --lib tensor::agreement
# shellcheck disable=SC2086
cargo test --release $features --test engines

for batch in 24 512 4096; do
    for on in "$device" cpu; do
        echo "== batch of $batch on $on"
        # shellcheck disable=SC2086
        cargo run --release $features --example discrete_vae -- --device "$on" --batch "$batch" \
            --steps "${STEPS:-200}" --out "target/gpu/$on-$batch" "$@" || echo "not run"
    done
done

if [ -n "${PEERS-}" ]; then
    echo "== $PEERS"
    $PEERS
fi
