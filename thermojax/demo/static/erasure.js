export class Erasure {
  opened() {}
  take() {}
  draw() {}
}
