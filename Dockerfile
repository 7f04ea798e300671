# The example app, for a real Descope project:
#   docker build -t fieldnotes .
#   docker run --read-only --cap-drop ALL -p 127.0.0.1:8000:8000 \
#     -e DESCOPE_PROJECT_ID=P... -e DESCOPE_PUBLIC_URL=http://localhost:8000 fieldnotes
# If users reach it by another host than localhost, DESCOPE_PUBLIC_URL is its https origin. Behind a proxy on
# another host, set FORWARDED_ALLOW_IPS to the proxies whose X-Forwarded headers uvicorn may trust.
# compose.yaml runs it with PostgreSQL, Redis and the Descope emulator.

FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv --without-pip /venv
COPY pyproject.toml README.md LICENSE ./
COPY fastapi_descope fastapi_descope
RUN pip --python /venv/bin/python install --no-cache-dir ".[redis,sqlalchemy]" --group example

# For development only: the emulator signs in any user.
FROM build AS emulator
RUN pip --python /venv/bin/python install --no-cache-dir ".[cli]"
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
COPY example_app example_app
USER 10001:10001
CMD ["fastapi-descope", "emulator", "--rotate"]

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# An SQLite file, for a single container. DATABASE_URL=postgresql+psycopg://... replaces it.
ENV DATABASE_URL=sqlite+aiosqlite:////data/fieldnotes.db
RUN mkdir --mode=1777 /data
VOLUME /data
COPY --from=build /venv /venv
WORKDIR /app
COPY example_app example_app
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
# No access log: a proxy usually writes one.
CMD ["uvicorn", "example_app.app:app", "--host", "0.0.0.0", "--port", "8000", "--proxy-headers", "--no-access-log", "--no-server-header"]
