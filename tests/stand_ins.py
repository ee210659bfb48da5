"""Small random models in the layouts of large ones, built on the spot, and a server that speaks the OpenAI protocol."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import torch

WORDS = ("a", "an", "the", "dog", "cat", "apple", "park", "sits", "runs", "in", "on", "with", "red", "small", "picture", ".")


def build_tokenizer(words):
    """A tokenizer that knows a few words and the marks of a model for texts or of LLaVA."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    marks = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    known = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*marks, *words])}, unk_token="<unk>"))
    known.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=known,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=64,
        additional_special_tokens=["<image>"],
    )


def write_llava(folder, encoder):
    """A LLaVA with random language weights around the vision tower of a CLIP."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    from safer_clip.export.towers import extract_vision_tower

    tower, tokenizer = extract_vision_tower(encoder), build_tokenizer(WORDS)
    language = {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "initializer_range": 0.5,  # large enough for the answer to depend on the picture
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    torch.manual_seed(1)
    config = LlavaConfig(vision_config=tower.config, text_config=language, image_token_index=4, vision_feature_layer=-2)
    llava = LlavaForConditionalGeneration(config)
    llava.model.vision_tower.load_state_dict(tower.state_dict())
    llava.save_pretrained(folder)
    processor = LlavaProcessor(
        encoder.processor,
        tokenizer,
        patch_size=tower.config.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)


def write_classifier(folder, labels, multi_label=False):
    """A classifier of texts with random weights."""
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = build_tokenizer(WORDS)
    torch.manual_seed(2)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(
        **size,
        vocab_size=len(tokenizer),
        max_position_embeddings=16,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        problem_type="multi_label_classification" if multi_label else None,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_image_classifier(folder, labels):
    """A vision transformer with random weights."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    torch.manual_seed(3)
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = ViTConfig(
        **size,
        image_size=16,
        patch_size=8,
        initializer_range=0.5,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)


def write_opennsfw(path, first=True, numbers=2, squash=True):
    """An ONNX file that calls a picture unsafe by the mean of its blue pixels: softmax([0, mean / 10])."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def hold(name, values):
        return numpy_helper.from_array(np.array(values), name)

    shape = ["n", 3, 224, 224] if first else ["n", 224, 224, 3]
    weights = np.zeros((3, numbers), np.float32)
    weights[0, -1] = 0.1
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax" if squash else "Identity", ["logits"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", numbers])],
        [hold("axes", [2, 3] if first else [1, 2]), hold("weights", weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)


def write_stable_diffusion(folder, encoder):
    """Stable Diffusion with random weights, as small as it gets, for a text encoder as wide as the miniature's."""
    import diffusers

    from safer_clip.export.towers import extract_text_tower

    small = {"block_out_channels": (8, 16), "norm_num_groups": 4}
    unet = diffusers.UNet2DConditionModel(
        **small,
        sample_size=8,
        layers_per_block=1,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=encoder.model.config.text_config.hidden_size,
        attention_head_dim=4,
    )
    vae = diffusers.AutoencoderKL(
        **small,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    pipeline = diffusers.StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=extract_text_tower(encoder),
        tokenizer=encoder.tokenizer,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)


DROP = object()


def word_reply(answer):
    """A whole reply: a dictionary as it is, anything else as what a chat model says."""
    if isinstance(answer, dict):
        return answer
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []}
    if answer is not None:
        message = {"role": "assistant", "content": answer}
        body["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    return body


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(body)
        answer = self.server.answers.pop(0) if self.server.answers else self.server.otherwise(body)
        if answer is DROP:
            self.close_connection = True
            return
        status, answer = answer if isinstance(answer, tuple) else (200, answer)
        reply = word_reply(answer) if status == 200 else {"error": {"message": answer}}
        told = answer if isinstance(answer, bytes) else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if told.startswith(b"<") else "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.send_header("retry-after-ms", "1")
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, *_):
        pass


@contextmanager
def serve_openai():
    """Each request takes the next of the server's `answers`, or else what its `otherwise` says."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.drop = DROP  # as an answer: the connection is closed without one
    server.answers, server.requests, server.otherwise = [], [], lambda body: (400, "nothing is left to say")
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def train_briefly(folder, method="safer_clip"):
    """A model folder as `train` writes it, from the miniature, after a few steps that move it visibly."""
    from safer_clip.config import TrainConfig
    from safer_clip.tuning import train

    settings = {"rows": 64, "batch_size": 16, "max_steps": 3, "learning_rate": 0.02, "warmup": 0.0}
    train(TrainConfig(model="miniature", data="miniature", method=method, output=folder, **settings))
    return folder
