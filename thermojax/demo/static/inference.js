export class Inference {
  opened() {}
  take() {}
  draw() {}
}
