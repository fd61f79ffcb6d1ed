# Lowbit on CPUs. Context: the folder that ./mvnw -Pbundle -DskipTests package makes.
#   docker build -f docker/cpu.Dockerfile -t lowbit:cpu java-src/lowbit-bundle/target/bundle
#   docker run --rm lowbit:cpu selftest
# The base needs glibc 2.17 or newer, libstdc++ and a POSIX shell with coreutils, nothing else.
ARG BASE=debian:12.11-slim
FROM ${BASE}
COPY LICENSE README lowbit start.sh /opt/lowbit/
COPY runtime /opt/lowbit/runtime
COPY lib /opt/lowbit/lib
WORKDIR /work
ENTRYPOINT ["/opt/lowbit/lowbit"]
