# Lowbit on NVIDIA GPUs, and on CPUs where the container gets none. Context as for cpu.Dockerfile.
#   docker build -f docker/gpu.Dockerfile -t lowbit:gpu java-src/lowbit-bundle/target/bundle
#   docker run --rm --gpus all lowbit:gpu selftest --backend cuda
# Lowbit needs the driver alone, which the host lends the container; of this base it takes the variables that ask for it.
# The tag: base is the smallest flavour (no toolkit); 12.4.1 because the image's NVIDIA_REQUIRE_CUDA refuses drivers older
# than its CUDA, and 12.4 is the oldest that runs every kernel (PTX ISA 8.4), so a newer tag would shut out drivers that work.
ARG BASE=nvidia/cuda:12.4.1-base-ubuntu22.04
FROM ${BASE}
COPY LICENSE README lowbit start.sh /opt/lowbit/
COPY runtime /opt/lowbit/runtime
COPY lib /opt/lowbit/lib
WORKDIR /work
ENTRYPOINT ["/opt/lowbit/lowbit"]
