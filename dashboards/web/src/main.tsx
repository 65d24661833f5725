import { render } from "preact";
import "./style/base.css";

function App() {
  return <main><h1>pgsonde</h1></main>;
}
const app = document.getElementById("app");
if (app) render(<App />, app);
