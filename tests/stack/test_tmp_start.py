from pathlib import Path
from support import free_port, wait_for
from support_house import House
from support_prometheus import prometheus_program, running_prometheus
from support_sdk import chat, send

def test_restart(tmp_path: Path):
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/api/v1/otlp/v1/metrics"
    flags = ["--web.enable-otlp-receiver", "--enable-feature=created-timestamp-zero-ingestion"]
    with House(tmp_path/"e", {"export": {"otlp": {"endpoint": endpoint, "interval": 1}}}) as house, running_prometheus(prometheus_program("3."), tmp_path/"p", {}, flags=flags, port=port) as prometheus:
        assert send([chat() for _ in range(100)], house.http)
        wait_for(lambda: prometheus.value("sum(llm_requests_total)") == 100, 20, "100")
        house.kill9(); house.start()
        wait_for(lambda: prometheus.value("count_over_time(llm_requests_total[1h])") > 12, 30, "more")
        print(prometheus.query("increase(llm_requests_total[1h])"), prometheus.query("resets(llm_requests_total[1h])"))
        print(prometheus.api("query", query="llm_requests_total[1m]"))
        print(prometheus.query('{__name__="target_info"}'))
