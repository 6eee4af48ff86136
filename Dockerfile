# CPU only. For CUDA, leave the extra index out and run with `--gpus all`.
FROM python:3.12-slim

WORKDIR /src
COPY . .
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    -c constraints.txt . && rm -rf /src/*

RUN useradd --system --create-home restored && install -d -o restored /station
USER restored
WORKDIR /station
ENV RESTORED_STATION=/station
VOLUME /station
STOPSIGNAL SIGTERM
CMD ["sh", "-c", "restored init /station && exec restored run"]
