// Serves with node's own http module.
const http = require("http");
http
  .createServer((request, response) => {
    let body = "";
    request.on("data", (part) => (body += part));
    request.on("end", () => {
      const text = request.method === "POST" ? JSON.parse(body).text : process.env.GREETING;
      const data = Buffer.from(JSON.stringify({ text }));
      response.writeHead(200, { "Content-Length": data.length });
      response.end(data);
    });
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
