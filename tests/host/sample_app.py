"""A small app for the local host's own tests: written to a folder of its own, one function for each rule."""

SOURCE = """
import json, typing
import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

@app.route(route="things/{id:int}", methods=["GET", "POST"])
def thing(req: func.HttpRequest) -> func.HttpResponse:
    body = {"id": req.route_params["id"], "params": dict(req.params), "body": req.get_body().decode(), "url": req.url,
            "header": req.headers.get("x-two")}
    return func.HttpResponse(json.dumps(body), mimetype="application/json", status_code=201, headers={"X-Kept": "yes"})

@app.route(route="things/special", methods=["GET"])
async def special(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("special")

@app.route(route="boom")
def boom(req: func.HttpRequest) -> func.HttpResponse:
    raise ValueError("boom")

@app.route(route="send/{text}")
@app.queue_output(arg_name="out", queue_name="%SAMPLE_QUEUE%", connection="SampleStorage")
def send(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    out.set(req.route_params["text"])
    return func.HttpResponse("sent")

seen = []

@app.queue_trigger(arg_name="message", queue_name="%SAMPLE_QUEUE%", connection="SampleStorage")
async def take(message: func.QueueMessage) -> None:
    text = message.get_body().decode()
    seen.append([text, message.dequeue_count])
    if text == "bad":
        raise RuntimeError("this one never works")

@app.queue_trigger(arg_name="message", queue_name="%SAMPLE_QUEUE%-poison", connection="SampleStorage")
def poison(message: func.QueueMessage) -> None:
    seen.append(["poison:" + message.get_body().decode(), message.dequeue_count])

@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", use_monitor=False)
def yearly(timer: func.TimerRequest) -> None:
    seen.append(["timer", timer.past_due])

@app.timer_trigger(arg_name="timer", schedule="%SAMPLE_EVERY%", use_monitor=False)
def often(timer: func.TimerRequest) -> None:
    seen.append(["often", 0])

@app.route(route="off")
def switched_off(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("must not answer")

@app.route(route="seen")
def what_was_seen(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(seen), mimetype="application/json")
"""
HOST = """{"version": "2.0", "extensions": {"http": {"routePrefix": "pre"},
 "queues": {"maxDequeueCount": 3, "visibilityTimeout": "00:00:00", "maxPollingInterval": "00:00:01"}}}"""
