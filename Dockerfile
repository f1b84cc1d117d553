# Two images from one file.
#
#   full     (default, last)     edgekd with torch, ExecuTorch and all else that a pipeline needs.
#   runtime  (--target runtime)  measures and runs exported .onnx files: ONNX Runtime and numpy, no
#                                torch and no edgekd. ExecuTorch's Python binding needs torch, so
#                                .pte files are for the full image, or a device's own runner.
#
# How to use them: docs/docker.md

ARG BASE_IMAGE=python:3.11-slim


# The lists of what pip installs. The stages below copy the lists alone, so neither a change of the
# source nor one elsewhere in pyproject.toml installs torch anew.
FROM ${BASE_IMAGE} AS requirements
WORKDIR /lists
COPY docker/requirements.py pyproject.toml ./
RUN python3 requirements.py pyproject.toml .


FROM ${BASE_IMAGE} AS full-packages
COPY --from=requirements /lists/full.txt /lists/full.txt
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /lists/full.txt


# pip goes again: nothing is installed in this image later.
FROM ${BASE_IMAGE} AS runtime-packages
COPY --from=requirements /lists/slim.txt /lists/slim.txt
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /lists/slim.txt \
    && /opt/venv/bin/pip uninstall --yes setuptools pip


# edgekd itself, without what it depends on: a folder to be laid over the environment above, so
# that its layer is small and the environment's stays as it is.
FROM ${BASE_IMAGE} AS package
COPY --from=requirements /lists/build.txt /lists/build.txt
RUN python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --requirement /lists/build.txt
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY pipelines pipelines
COPY targets targets
COPY edgekd edgekd
RUN /opt/venv/bin/pip install --no-cache-dir --no-build-isolation --no-deps --prefix /package .


# What changes most comes last in both images.
FROM ${BASE_IMAGE} AS runtime
LABEL org.opencontainers.image.title="edgekd runtime" \
      org.opencontainers.image.description="Measures and runs exported ONNX programs, without torch" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --create-home --user-group --uid 1000 edgekd \
    && install --directory --owner edgekd --group edgekd /work
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["/opt/venv/bin/python3", "-s", "-E", "/opt/runners/measure_file.py"]
CMD ["--help"]
COPY --from=runtime-packages /opt/venv /opt/venv
COPY targets/runners /opt/runners


FROM ${BASE_IMAGE} AS full
LABEL org.opencontainers.image.title="edgekd" \
      org.opencontainers.image.description="Distil, compress, export and measure models for devices" \
      org.opencontainers.image.licenses="Apache-2.0"
# The home is everybody's, and the user has a name without /etc/passwd: a run under the caller's
# own user id, which a mounted folder may ask for, finds both.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/edgekd \
    USER=edgekd \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --user-group --uid 1000 edgekd \
    && chmod 1777 /home/edgekd \
    && install --directory --owner edgekd --group edgekd /work
WORKDIR /work
USER 1000:1000
ENTRYPOINT ["edgekd"]
CMD ["--help"]
COPY --from=full-packages /opt/venv /opt/venv
COPY --from=package /package /opt/venv
