// One self-contained file comes out: dist/index.html, which the binary embeds.
import { defineConfig } from "vite";
import { viteSingleFile } from "vite-plugin-singlefile";

export default defineConfig({
  plugins: [viteSingleFile({ removeViteModuleLoader: true })],
  build: {
    target: "es2023",
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // dist keeps its .gitignore: Cargo watches the folder, which therefore always exists.
    emptyOutDir: false,
    modulePreload: { polyfill: false },
  },
});
