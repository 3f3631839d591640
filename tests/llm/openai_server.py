"""A small OpenAI-compatible server over any causal model: python openai_server.py MODEL. Prints its port, serves until it is ended."""

from __future__ import annotations

import socket
import sys
import threading
import time
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI, HTTPException, Request

from genre.llm.backbone import Backbone, load_backbone


def app_of(backbone: Backbone, name: str) -> FastAPI:
    app, turn = FastAPI(), threading.Lock()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> dict[str, Any]:
        asked = await request.json()
        if asked["model"] != name:
            raise HTTPException(404, f"no model {asked['model']}")
        said = "\n\n".join(message["content"] for message in asked["messages"])
        tokens = backbone.tokenizer(said, return_tensors="pt", truncation=True, max_length=backbone.limit - asked["max_tokens"])[
            "input_ids"
        ]
        with turn, torch.inference_mode():
            torch.manual_seed(asked["seed"])
            sampling = {"do_sample": True, "temperature": asked["temperature"]} if asked["temperature"] > 0 else {"do_sample": False}
            out = backbone.model.generate(
                tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=asked["max_tokens"],
                pad_token_id=backbone.tokenizer.pad_token_id, **sampling,
            )[0, tokens.shape[1] :]  # fmt: skip
        text = backbone.tokenizer.decode(out, skip_special_tokens=True)
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": name,
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": tokens.shape[1], "completion_tokens": len(out), "total_tokens": tokens.shape[1] + len(out)},
        }

    return app


if __name__ == "__main__":
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        app = app_of(load_backbone(sys.argv[1], head=True), "tiny")
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])
